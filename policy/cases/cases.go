// Package cases reads the cases that a policy's verdicts are tried against, and runs them through any policy.Program.
// It knows no WebAssembly; wasm/examples/README.md describes the files.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// Case is one file: a config, and the calls that a policy loaded with it gets one after the other.
type Case struct {
	Name    string // of the file, without folder and ending
	About   string // what the case shows
	Config  []byte // the JSON object that the policy is loaded with, {} if the file has none
	Refused bool   // the policy has to refuse the config; there are no steps
	Steps   []Step
}

// Step is one call. The field that Kind names is set.
type Step struct {
	Kind     policy.Kind
	Request  abi.Request
	Response abi.Response
	Chunk    abi.Chunk
	Done     abi.Done

	Want  []byte // the actions that are expected, those that the host carries out itself left out
	Fails bool   // the call has to fail
}

// Read reads the case in one file.
func Read(path string) (*Case, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the case: %w", err)
	}
	name := filepath.Base(path)
	c, err := Parse(name[:len(name)-len(filepath.Ext(name))], text)
	if err != nil {
		return nil, fmt.Errorf("cannot use the case %s: %w", path, err)
	}
	return c, nil
}

// ReadDir reads every *.json in the folder, in the order of the names. A folder without a case is an error.
func ReadDir(dir string) ([]*Case, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("cannot list the cases in %s: %w", dir, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("there is no case (*.json) in %s", dir)
	}
	slices.Sort(paths)
	all := make([]*Case, len(paths))
	for i, path := range paths {
		if all[i], err = Read(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Parse reads a case from its text. Members that it does not know are errors.
func Parse(name string, text []byte) (*Case, error) {
	var f file
	if err := strict(text, &f); err != nil {
		return nil, err
	}
	c := &Case{Name: name, About: f.About, Config: f.Config, Refused: f.Refused}
	if len(c.Config) == 0 {
		c.Config = []byte("{}")
	}
	steps := f.Steps
	if f.Request != nil || f.Response != nil || f.Chunk != nil || f.Done != nil {
		if len(steps) > 0 {
			return nil, fmt.Errorf("it has a call of its own beside \"steps\": put it into them")
		}
		steps = []fileStep{f.fileStep}
	}
	if f.Refused != (len(steps) == 0) {
		return nil, fmt.Errorf("want calls to make (\"request\", \"response\", \"chunk\", \"done\" or \"steps\"), or else \"refused\": true")
	}
	for i := range steps {
		s, err := steps[i].step(f.KV)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		c.Steps = append(c.Steps, s)
	}
	return c, nil
}

// strict decodes one JSON value into v and refuses unknown members.
func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more follows behind the object")
	}
	return nil
}
