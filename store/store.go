// Package store is the contract of the node's byte tiers: what a cache tier promises, and its errors. It
// knows no driver; the packages below it are one driver each and pass storetest.
package store

import (
	"errors"
	"time"
)

// ErrNotFound says that a tier does not hold the key, or no longer.
var ErrNotFound = errors.New("store: not found")

// ErrClosed says that the tier has been closed.
var ErrClosed = errors.New("store: closed")

// ErrTooLarge says that a value is larger than the tier takes.
var ErrTooLarge = errors.New("store: value too large")

// ErrRefused says that a tier takes no writes at the moment: its disk has no room or does not keep up.
var ErrRefused = errors.New("store: write refused")

// Item is one value on its way into a tier.
type Item struct {
	Key     []byte
	Value   []byte
	Expires time.Time // zero: never
}

// Tier keeps bytes under keys until they expire or room is needed. It is safe for concurrent use.
type Tier interface {
	// AppendGet appends the value of key to dst, or returns dst and ErrNotFound.
	AppendGet(dst, key []byte) ([]byte, error)
	// Set stores the items; a tier may forget any of them later. The slices are not kept.
	Set(items ...Item) error
	// Delete forgets the keys; unknown keys are no error.
	Delete(keys ...[]byte) error
	// DeletePrefix forgets every key that begins with prefix; an empty prefix forgets all. It returns when none
	// of them can be read any more.
	DeletePrefix(prefix []byte) error
	// Usage tells how much the tier holds; it may lag behind by seconds.
	Usage() Usage
}

// Usage is a tier's size.
type Usage struct {
	Entries   int64 // -1 where the tier cannot tell cheaply
	Bytes     int64
	Limit     int64 // bytes; 0 means none
	Evictions int64 // entries forgotten for room since the start
	Refused   int64 // writes turned away since the start
}
