package request

import "strconv"

// SyntaxError says that a body is not a JSON document this package accepts. Its message quotes at most
// maxQuoted bytes of the body.
type SyntaxError struct {
	Offset int64  // bytes before the fault
	Reason string // what is wrong there, as in `duplicate key "model"`
}

func (e *SyntaxError) Error() string {
	return "cannot read the body as JSON: " + e.Reason + " at byte " + strconv.FormatInt(e.Offset, 10)
}

// FieldError says that a field which the node reads has a type or value that it cannot have.
type FieldError struct {
	Param  string // the field's path, as in "stream_options.include_usage"
	Reason string // what it must be
}

func (e *FieldError) Error() string { return "cannot use field " + e.Param + ": " + e.Reason }

// maxQuoted bounds what an error repeats of a client's key, in bytes.
const maxQuoted = 64

// quote is a key as an error shows it.
func quote(key []byte) string {
	if len(key) > maxQuoted {
		return strconv.Quote(string(key[:maxQuoted])) + "…"
	}
	return strconv.Quote(string(key))
}
