// Package policy says when a policy runs, what it sees and what it may decide. It knows no WebAssembly: a Program is
// whatever answers these calls.
package policy

import (
	"errors"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// Hook is a set of moments at which a policy may act.
type Hook uint8

// The hooks of the catalog. One call of Program.Request serves both Route and Prompt.
const (
	Route Hook = 1 << iota
	Prompt
	Response
	Chunk
	Done
)

// Program is one policy, loaded and ready. Its methods may be called by many goroutines at once, allocate nothing
// once warm, and return within the policy's time limit.
//
// What a call decided is appended to dst as a list of actions that has been checked: well-formed, every payload right
// for its tag, only actions of the hooks that the policy is bound to, without those the program's host carries out
// itself (logs and key-values). No opinion appends nothing. After an error dst is returned as it came.
type Program interface {
	Caps() abi.Caps
	Request(in *abi.Request, dst []byte) ([]byte, error)
	Response(in *abi.Response, dst []byte) ([]byte, error)
	Chunk(in *abi.Chunk, dst []byte) ([]byte, error)
	Done(in *abi.Done, dst []byte) ([]byte, error)
}

// What a call may fail with; errors.Is tells them apart. The policy's on_error decides what becomes of the request.
var (
	ErrTrapped     = errors.New("the policy trapped")
	ErrDeadline    = errors.New("the policy used up its time")
	ErrBusy        = errors.New("every instance of the policy is busy")
	ErrRefused     = errors.New("the policy returned an error")
	ErrActions     = errors.New("the policy's actions are invalid")
	ErrQuarantined = errors.New("the policy is in quarantine")
)
