"""Plain rivals of the biophysical and hybrid models; none sees weather after the day it answers with."""

from ecotone.systems.phenology.baselines.simple import SiteMean, SiteTrend
from ecotone.systems.phenology.baselines.spring import SpringRegression
from ecotone.systems.phenology.baselines.weekly import WeeklyBoosting, WeeklyRidge

__all__ = ["SiteMean", "SiteTrend", "SpringRegression", "WeeklyBoosting", "WeeklyRidge"]
