"""How values of each type become objects, and objects values again."""
