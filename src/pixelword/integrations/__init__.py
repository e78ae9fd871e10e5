"""Integrations with other programs. Each subpackage is imported only by its program, whose packages it needs."""
