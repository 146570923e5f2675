// Package influx writes readings, positions, gaps, charging sessions, vehicle records and
// their bookkeeping to InfluxDB and reads them back with InfluxQL. One code path
// serves 1.8, 2.x and 3: lines go to /api/v2/write, queries to /query.
//
// It owns the line protocol, the classing of the server's answers and the
// halving of refused batches. It never retries, never drops a line in silence
// and never decides what a value means.
//
// # Data dictionary
//
//	measurement       tags             fields                                              time
//	reading           vin, descriptor  number float | bool boolean | text string |         measured
//	                                   absent boolean, always true
//	gap               gcid, vin        end integer, unix ms; cause string; seconds float   start of the gap
//	charging_session  vin              see below                                           start of the session
//	charging_block    vin              session integer, unix ms of the session's start;    start of the block
//	                                   fetched integer, unix ms, as of the session;
//	                                   average_grid_kw float; and once it has an end:
//	                                   end integer, unix ms; seconds float
//	vehicle           vin, kind        facts integer, the number of facts; and each fact   when it was fetched
//	                                   as name.number float, name.bool boolean or
//	                                   name.text string
//	position          vin              latitude, longitude, altitude, heading float; see     when the latitude
//	                                   below; apart_ms integer; outlier boolean            was measured
//	freshness         vin              lag_ms integer; readings integer                    start of the minute
//	day               vin, table       touched integer, unix ms                            start of the UTC day
//
// A reading line carries exactly one field, chosen by the kind of its value.
// When a later revision of a key (vin, descriptor, time) has another kind, the
// earlier field stays: readers take number or bool, then text, then absent.
// Of several values of one key in one batch the last wins.
//
// A gap has one point for each car known at the time; an account without known
// cars has one point without the tag vin, and no day. A gap's day is the one it starts on.
//
// # Positions
//
// A position is a latitude with the longitude that was measured nearest to it, within three
// seconds; see package derive. latitude and longitude are degrees north and east. altitude
// (m) and heading (degrees clockwise from north) are there only when measured near enough.
// apart_ms is the time between latitude and longitude. outlier is true where the car cannot
// have been, judged by the positions around; it may change as these arrive. The day of a
// position is that of its latitude.
//
// # Charging sessions
//
// Fields of charging_session; but for the first five each is there only when
// BMW said so:
//
//	running                               boolean  not ended when it was fetched
//	blocks, errors                        integer  how many BMW listed
//	fetched                               integer  unix ms, of the version that is stored
//	source                                string   rest or archive
//	end                                   integer  unix ms; once the session has ended
//	seconds                               float    from start to end; once the session has ended
//	charging_seconds                      float    time that energy flowed
//	start_soc, end_soc                    float    % before, and after or now
//	grid_kwh                              float    kWh from the grid
//	battery_increase_kwh                  float    kWh that reached the battery; of the owner archive alone
//	battery_decrease_kwh, discharged_kwh  float    kWh out of the battery, kWh given back
//	mileage_km                            float    odometer
//	peak_kw                               float    highest power of a block
//	preconditioning                       boolean  cabin or battery was conditioned
//	time_zone                             string   IANA name of the zone of the place
//	latitude, longitude                   float    degrees north and east
//	municipality, address, street         string   the place
//	providers, public_points              string   matching public charging points, joined by "; "
//	cost, savings                         float    in currency, which is a string such as EUR
//	error_hints                           string   joined by "; "
//
// A later version of a session (vin, start) lands on the same point and brings
// what is new; running turns false with the version that has an end. What a
// later version leaves out keeps its earlier value. A block that a later version
// cut otherwise stays, too: the blocks of the stored version are those whose
// fetched is that of their session. table charging_sessions of
// day covers blocks too: the days on which a session or one of its blocks starts.
//
// # Vehicle records
//
// The kinds are mapping, basic_data, tyres, settings and image. A field's name is
// that of the fact, such as model_name or
// passenger_car.mounted_tyres.front_left.tyre_wear.due_mileage, then its type:
// the same fact can come as text for one car and as a number for another, and
// so has two fields instead of a conflict. BMW's null has no field.
//
// # Day marks
//
// touched of (vin, table, day) changes with every write that hits that day and
// is written after the points are durable. It only ever grows within one
// process; readers compare it for equality, never with a clock.
package influx
