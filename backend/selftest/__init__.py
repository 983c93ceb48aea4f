"""`ris selftest`: whether a profile finds what twelve expressions mean in seven photographs that come with the product."""
