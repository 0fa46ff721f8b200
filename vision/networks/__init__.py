"""The networks behind encoders: how each family is loaded, fed and written."""
