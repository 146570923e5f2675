// Package cars models BMW cars that drive, charge, refuel and sleep, and the
// messages BMW's backend would publish for them. It is the source of the
// simulator's feed and of its charging history.
//
// # The model
//
// A car is a seed. From it follow a city with a home, a place of work, shops
// and friends, the roads between them, the habits of its driver and the
// equipment that decides which 75 or so descriptors it sends. Time is cut into
// car days that begin at 04:00 UTC, when every car sleeps:
//
//   - The trips of a day are a pure function of (seed, day), so the odometer at
//     any moment is the sum of all days before plus the way driven since.
//   - The battery is followed from Monday to Sunday night, when each electric
//     car is charged to its target, so the state of charge is a pure function
//     of (seed, week and what was driven in it). Fuel follows the odometer.
//   - Each activity of a day (a leg, a charging session, a waking) draws its
//     chances from (seed, day, activity). A car that starts later therefore
//     sends the same messages as one that has run for weeks.
//
// An activity is a row of ticks; a tick looks at the car at that moment and
// yields one burst of messages under one envelope time: all keys when the car
// wakes, position every few minutes while it drives, state of charge and power
// while it charges, the trip.segment.end keys after a trip and again, with
// their old measurement time, at the next waking. Parked cars are silent.
//
// The quirks of the real feed are laid over that with the rates of Quirks:
// duplicates, late measurements, nulls and sentinels, outliers of the GPS,
// revisions, missing units, miles from cars of the United Kingdom, and
// charging that falls silent five minutes after plug-in (CarData API, sections
// "MQTT stream" and "Simulator specification").
//
// The Customer API's side is a function of time alone: History tells the
// sessions as the charging history does, RESTOnly the values that never stream,
// Facts what basicData says.
//
// Every emission carries the truth a reader must find at the end of the
// pipeline. It comes from the model, never from the code under test.
//
// # What it never does
//
// No I/O, no clock, no goroutine, no global state. A Car belongs to one
// goroutine; different cars are independent.
package cars
