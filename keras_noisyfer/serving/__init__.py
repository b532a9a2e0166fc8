"""Taking the trained networks to where they are used."""
