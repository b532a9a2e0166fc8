"""Choosing lambda and gamma without clean labels, with KerasTuner."""
