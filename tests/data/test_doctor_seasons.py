from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from season_tables import bloom, daily

from ecotone.data.doctor import examine, worst
from ecotone.data.doctor_seasons import recognise


def write(folder, name, frame):
    path = folder / name
    frame.to_csv(path, index=False)
    return path


def found(findings, severity):
    return {f.code for f in findings if f.severity == severity}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("site_id,year,doy", "bloom"),
        ("country,site_id,lat,lon,species_or_variety,year,doy,date,source", "bloom"),
        ("s_id,lon,lat,alt,genus_id,species_id,phase_id,year,day", "bloom"),
        ("PEP_ID,BBCH,YEAR,DAY", "bloom"),
        (
            "Site_ID,Latitude,Species,Phenophase_Description,First_Yes_Year,First_Yes_DOY,NumDays_Since_Prior_No",
            "bloom",
        ),
        ("Site_ID,Latitude,Species,Observation_Date,Phenophase_Status", "bloom"),
        ("species,site_id,year,doy,phenophase", "bloom"),
        ("site,bloom_date", "bloom"),
        ("Year,pheno", "bloom"),
        ("station_id,date,tmin_c,tmax_c,quality", "temperature"),
        ("site_id,temperature,year,doy,latitude,longitude,daylength", "temperature"),
        ("Year,Month,Day,Hour,Temp", "temperature"),
        ("station,lat,lon,year,t_oct_prev,t_nov_prev,t_dec_prev,t_jan,t_feb,t_mar", "temperature"),
        ("site_id,station_id,distance_km", "stations"),
        ("station_id,name,lat,lon,alt_m", "stations"),
        ("species,longitude,latitude,year", ""),
        ("scientificName,decimalLongitude,decimalLatitude,eventDate,year,month,day", ""),
        ("species,x,y", ""),
        ("site,bio1,bio12", ""),
    ],
)
def test_tables_are_told_apart(names, kind):
    assert recognise(names.split(",")) == kind


def test_sound_tables(tmp_path):
    files = [write(tmp_path, "b.csv", bloom(latitude=47.0)), write(tmp_path, "t.csv.gz", daily())]
    findings = examine(files)
    assert worst(findings) == "ok"
    assert "6 usable records of 1 sites, 2001 to 2006; columns site: site_id" in findings[0].message
    assert "2557 days of 1 stations, 2000-01-01 to 2006-12-31" in findings[1].message
    assert findings[2].message == "6 of 6 bloom records at 1 sites have temperatures"


def test_troubles_of_bloom_tables(tmp_path):
    bad = bloom(
        ["A"] * 7, [2001, 2001, 2002, 2015, 20230, 2003, 2004], [100, 100, 100, 366, 90, 300, None], latitude=47.0
    )
    findings = examine(write(tmp_path, "b.csv", bad))
    assert found(findings, "warning") == {"PH604", "PH607", "PH615", "PH618"} and worst(findings) == "warning"
    assert all(f.fix for f in findings if f.severity == "warning")
    clash = write(tmp_path, "c.csv", bloom(["A", "A"], [2001, 2001], [100, 140]))
    assert found(examine(clash), "error") == {"PH606"}
    several = write(tmp_path, "p.csv", bloom(["A", "A"], [2001, 2002], [100, 140], phenophase=[60, 65]))
    assert found(examine(several), "error") == {"PH602"}
    vague = write(tmp_path, "d.csv", pd.DataFrame({"site": ["A"], "bloom_date": ["03/04/2015"]}))
    assert found(examine(vague), "error") == {"PH605"}


def test_troubles_of_temperature_tables(tmp_path):
    frame = daily()
    frame[["tmin", "tmax"]] = frame[["tmin", "tmax"]] * 1.8 + 32
    fahrenheit = write(tmp_path, "f.csv", frame)
    findings = examine([write(tmp_path, "b.csv", bloom(latitude=47.0)), fahrenheit])
    assert found(findings, "error") == {"PH608"} and "--temperature-unit F" in findings[-1].fix
    frame = daily().drop(index=range(100, 400))
    frame.loc[[3, 5], "tmin"] = [-999.0, 40.0]
    findings = examine(write(tmp_path, "m.csv", frame))
    assert found(findings, "warning") == {"PH610", "PH611"}
    assert any("of the days between first and last are missing" in f.message for f in findings)


def test_tables_that_do_not_fit_together(tmp_path):
    both = bloom(["A", "A", "C"], [2001, 2002, 2001], [100, 101, 99])
    frame = daily().pipe(lambda t: t[~t["date"].between("2001-11-01", "2002-01-31")])
    other = daily(station="B")
    files = [write(tmp_path, "b.csv", both), write(tmp_path, "t.csv", pd.concat([frame, other]))]
    findings = examine(files)
    assert found(findings, "warning") == {"PH612", "PH613", "PH614", "PH617"}
    links = write(tmp_path, "s.csv", pd.DataFrame({"site_id": ["C"], "station_id": ["B"]}))
    assert "PH612" not in found(examine([*files, links]), "warning")
    lost = write(tmp_path, "n.csv", bloom("Z", latitude=np.nan))
    assert found(examine([lost, files[1]]), "error") == {"PH616"}
