"""The former name of `pixelword.generation`; the import that docs/ documented works for one more release."""
