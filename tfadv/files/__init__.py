"""Files that are read and written: images, arrays, labels, records, and the schemas that they are held to."""
