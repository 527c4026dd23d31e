-- Wake: a number that changes when another connection has written to the file.
pragma data_version
