package cli

import (
	"encoding/json"
	"fmt"
	"strings"
)

// What is changed, for people to read before it is.

// marks say at a glance what happens to a resource.
var marks = map[string]string{"create": "+", "update": "~", "delete": "-"}

// plan adds what would change, and what was looked at.
func (t *table) plan(r *Result) {
	t.changes(r.Changes)
	t.gates(r.Gates)
	if len(r.Changes) == 0 {
		t.line("nothing changes: revision %d has it all", r.Rev)
		return
	}
	t.line("%s%s; nothing was changed", count(r.Changes), r.several(", in %d revisions"))
}

// result adds what was, or with a dry run would be, changed.
func (t *table) result(r *Result) {
	if r.DryRun {
		t.plan(r)
		return
	}
	t.gates(r.Gates)
	t.line("%s", r.made())
}

// made tells what a change came to.
func (r *Result) made() string {
	if len(r.Changes) == 0 {
		return fmt.Sprintf("nothing changed: revision %d has it all", r.Rev)
	}
	return fmt.Sprintf("revision %d%s: %s", r.Rev, r.several(", the last of %d"), count(r.Changes))
}

// several says how many revisions a change takes, where it is more than one.
func (r *Result) several(format string) string {
	if r.Revisions < 2 {
		return ""
	}
	return fmt.Sprintf(format, r.Revisions)
}

// count tells how many changes of which sort there are.
func count(changes []Change) string {
	n := map[string]int{}
	for i := range changes {
		n[changes[i].Action]++
	}
	var sorts []string
	for _, sort := range []string{"create", "update", "delete"} {
		if n[sort] > 0 {
			sorts = append(sorts, fmt.Sprintf("%d %sd", n[sort], sort))
		}
	}
	return plural(len(changes), "change") + " (" + strings.Join(sorts, ", ") + ")"
}

// changes adds one block for each resource that changes.
func (t *table) changes(changes []Change) {
	for i := range changes {
		c := &changes[i]
		t.line("%s %s %s", marks[c.Action], c.Kind, c.Name)
		switch c.Action {
		case "create":
			t.body(c.After, "    ")
		case "update":
			t.fields(c.Fields, "    ")
		}
	}
}

// fields adds differences between two bodies, one a line.
func (t *table) fields(fields []FieldChange, indent string) {
	for i := range fields {
		f := &fields[i]
		t.line("%s%s: %s → %s", indent, f.Path, shortJSON(f.Before), shortJSON(f.After))
	}
}

// body adds a body, in YAML.
func (t *table) body(body json.RawMessage, indent string) {
	text, err := yamlOf(body)
	if err != nil {
		text = body // as it is, then
	}
	for line := range strings.Lines(string(text)) {
		t.line("%s%s", indent, line)
	}
}

// gates adds what the gates found.
func (t *table) gates(gates []Gate) {
	for i := range gates {
		t.line("%s", gates[i].String())
	}
}

// maxShown is how many characters of a field's value are shown in a difference.
const maxShown = 120

// shortJSON is a value on one line; what does not stand there shows as "nothing".
func shortJSON(value json.RawMessage) string {
	if len(value) == 0 || string(value) == "null" {
		return "nothing"
	}
	text := string(value)
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "…"
	}
	return text
}
