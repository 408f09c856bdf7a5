"""What is computed: data, models, training, chat, checks, export, jobs. Knows no Textual."""
