"""All about a recipe: its file, its values, the rules between them."""
