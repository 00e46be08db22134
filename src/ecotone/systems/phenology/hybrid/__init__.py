"""The hybrid: a chill response learned by a network inside a biophysical model of dormancy and growth."""
