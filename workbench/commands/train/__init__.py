"""Commands about training: one module an idea, one public function a command."""
