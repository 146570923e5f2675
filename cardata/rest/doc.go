// Package rest is a client of BMW's CarData Customer API: one account's cars,
// charging history, containers and telematic values, and the quota of 50 calls a
// day that all of them share. It asks, decodes and explains refusals; it never
// schedules, stores, or repeats a call on its own, except once after a token was
// renewed. What BMW sends is read leniently: a field of the wrong type is noted
// and left out, and the rest is kept beside the bytes as they came.
package rest
