package wire

import (
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds how many problems one report lists.
const maxProblems = 1000

// Problem is one fault of a catalog.
type Problem struct {
	Line    int    `json:"line" yaml:"line"`     // from 1
	Column  int    `json:"column" yaml:"column"` // from 1, in characters
	Path    string `json:"path" yaml:"path"`     // such as models[0].versions[1].targets[0].weight; "" is the whole file
	Message string `json:"message" yaml:"message"`
}

// Problems is every fault of one catalog in the order of the file. It is an error.
type Problems struct {
	Name string // what the catalog is called: a file's name
	List []Problem
}

// Error lists all problems, one a line, as NAME:LINE:COLUMN: path: message.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i := range p.List {
		lines[i] = p.Name + ":" + p.List[i].String()
	}
	return strings.Join(lines, "\n")
}

// String is LINE:COLUMN: path: message.
func (p *Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
	}
	return fmt.Sprintf("%d:%d: %s: %s", p.Line, p.Column, p.Path, p.Message)
}

// problemsOf is the error for a list of problems, nil for an empty one; a very long list is cut and says so.
func problemsOf(name string, list []Problem) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	list = slices.Compact(list)
	if over := len(list) - maxProblems; over > 0 {
		list = list[:maxProblems:maxProblems]
		last := list[maxProblems-1]
		last.Path, last.Message = "", fmt.Sprintf("%d further problems are not listed; correct these first", over)
		list = append(list, last)
	}
	return &Problems{Name: name, List: list}
}
