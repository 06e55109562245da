package store

import (
	"errors"
	"fmt"
)

// The errors that callers tell apart, with errors.Is.
var (
	// ErrNotFound says that there is no such resource or blob.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a resource is not at the version which the change expected: see ConflictError.
	ErrConflict = errors.New("changed in the meantime")
	// ErrInvalid says that a request can never succeed as it is.
	ErrInvalid = errors.New("invalid")
	// ErrKeyUsed says that an idempotency key came with another change before.
	ErrKeyUsed = errors.New("idempotency key used for another change")
	// ErrCompacted says that what was asked for has been forgotten: take a snapshot in its place.
	ErrCompacted = errors.New("compacted")
	// ErrAhead says that the reader knows a revision which this history does not have: take a snapshot in its place.
	ErrAhead = errors.New("ahead of the head")
	// ErrUnknown says that the connection or the disk failed while a transaction was being committed: it may have been
	// or not.
	ErrUnknown = errors.New("outcome unknown")
	// ErrCorrupt says that the store or a backup does not hold what was put into it.
	ErrCorrupt = errors.New("corrupt")
	// ErrInUse says that another process has the SQLite file open.
	ErrInUse = errors.New("in use")
	// ErrNewer says that a newer Wedge made the tables or the backup.
	ErrNewer = errors.New("made by a newer version")
	// ErrNotEmpty says that a backup cannot be restored where there is something already.
	ErrNotEmpty = errors.New("not empty")
)

// ConflictError tells which resource stopped a change.
type ConflictError struct {
	Kind, Name string
	Expected   int64 // what the change expected: Absent, or a version
	Current    int64 // the version now, Absent if there is no such resource
}

func (e *ConflictError) Error() string {
	const advice = "read it again, and repeat the change on what it says now"
	switch {
	case e.Expected == Absent:
		return fmt.Sprintf("cannot create %s %q: it is there already, at version %d: %s", e.Kind, e.Name, e.Current, advice)
	case e.Current == Absent:
		return fmt.Sprintf("cannot change %s %q at version %d: it has been deleted: %s", e.Kind, e.Name, e.Expected, advice)
	}
	return fmt.Sprintf("cannot change %s %q at version %d: it is at version %d: %s", e.Kind, e.Name, e.Expected, e.Current, advice)
}

// Is makes a ConflictError an ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+": restore a backup", append([]any{ErrCorrupt}, args...)...)
}
