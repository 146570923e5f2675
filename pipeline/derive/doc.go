// Package derive computes from the readings of one vehicle what BMW does not
// send: positions, later trips and states. Its functions are pure: no I/O, no
// clock, the same input in any order gives the same output.
package derive
