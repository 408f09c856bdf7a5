"""What is seen: one folder a screen, and the widgets they share. Knows no torch."""
