"""Plain rivals of the biophysical and hybrid models; none sees weather after the day it answers with."""
