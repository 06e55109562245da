package prices

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// rule says which models' names a price is for. The zero value is for none.
type rule struct {
	op   string // one of the members below
	text string // in lower case, as names are before they are compared
	re   *regexp.Regexp
	of   []rule
}

// UnmarshalJSON reads a rule as genai-prices writes it: an object of one member.
func (r *rule) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if len(members) != 1 {
		return fmt.Errorf("a rule has %d members; want one", len(members))
	}
	for op, value := range members {
		r.op = op
		var to any = &r.text
		if op == "or" || op == "and" {
			to = &r.of
		}
		if err := json.Unmarshal(value, to); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	switch r.op {
	case "or", "and":
	case "equals", "starts_with", "ends_with", "contains":
		r.text = strings.ToLower(r.text)
	case "regex":
		return r.compile()
	default:
		return fmt.Errorf("there is no rule %q", r.op)
	}
	return nil
}

// compile understands a regular expression. A negative look-ahead that stands for the whole of it, which this machine's
// expressions do not have, becomes "not".
func (r *rule) compile() (err error) {
	text := r.text
	if inner, is := strings.CutPrefix(text, "^(?!"); is && strings.HasSuffix(inner, ")") {
		r.op, text = "not", "^(?:"+inner
	}
	if r.re, err = regexp.Compile(text); err != nil {
		return fmt.Errorf("regex: %w", err)
	}
	return nil
}

// MarshalJSON writes the rule as it was read, in lower case.
func (r rule) MarshalJSON() ([]byte, error) {
	switch r.op {
	case "or", "and":
		return json.Marshal(map[string][]rule{r.op: r.of})
	case "not":
		return json.Marshal(map[string]string{"regex": r.text})
	}
	return json.Marshal(map[string]string{r.op: r.text})
}

// matches says whether the rule is for a model's name in lower case.
func (r *rule) matches(name string) bool {
	switch r.op {
	case "equals":
		return name == r.text
	case "starts_with":
		return strings.HasPrefix(name, r.text)
	case "ends_with":
		return strings.HasSuffix(name, r.text)
	case "contains":
		return strings.Contains(name, r.text)
	case "regex":
		return r.re.MatchString(name)
	case "not":
		return !r.re.MatchString(name)
	case "or":
		for i := range r.of {
			if r.of[i].matches(name) {
				return true
			}
		}
		return false
	case "and":
		for i := range r.of {
			if !r.of[i].matches(name) {
				return false
			}
		}
		return true
	}
	return false
}
