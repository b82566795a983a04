"""What a study says: one module a kind of question reads scores, decides, and makes table, figure and words."""
