package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// The reference reads bodies with encoding/json and knows nothing of this package: it says which bodies are
// documents, and which document each one is.

// document is the tree of a body: map[string]any, []any, string, json.Number, bool and nil.
func referenceDocument(body []byte) (map[string]any, error) {
	switch {
	case !json.Valid(body):
		return nil, errors.New("not JSON")
	case !utf8.Valid(body):
		return nil, errors.New("not UTF-8")
	case hasLoneSurrogate(body):
		return nil, errors.New("lone surrogate")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	value, err := referenceValue(d, 0)
	if err != nil {
		return nil, err
	}
	document, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	return document, referenceFields(document)
}

func referenceValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 512 {
		return nil, errors.New("too deep")
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			element, err := referenceValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		_, err = d.Token()
		return list, err
	}
	return referenceObject(d, depth+1)
}

func referenceObject(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if _, twice := object[key.(string)]; twice {
			return nil, fmt.Errorf("duplicate key %q", key)
		}
		if object[key.(string)], err = referenceValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

// hasLoneSurrogate looks at the escapes of valid JSON, where backslashes are in strings only.
func hasLoneSurrogate(body []byte) bool {
	high := func(r uint64) bool { return r >= 0xd800 && r < 0xdc00 }
	low := func(r uint64) bool { return r >= 0xdc00 && r < 0xe000 }
	unit := func(i int) uint64 {
		if i+6 > len(body) || body[i] != '\\' || body[i+1] != 'u' {
			return 0
		}
		r, _ := strconv.ParseUint(string(body[i+2:i+6]), 16, 32)
		return r
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		switch r := unit(i); {
		case high(r) && !low(unit(i+6)), low(r):
			return true
		case high(r):
			i += 11
		default:
			i++
		}
	}
	return false
}

// referenceFields checks the types of the fields that a View offers.
func referenceFields(document map[string]any) error {
	model, ok := document["model"]
	if name, isString := model.(string); ok && (!isString || name == "") {
		return errors.New("model")
	}
	boolean := func(value any) bool { _, ok := value.(bool); return ok }
	for _, name := range []string{"stream", "store"} {
		if value := document[name]; value != nil && !boolean(value) {
			return errors.New(name)
		}
	}
	if user, isString := document["user"].(string); !isString && document["user"] != nil {
		return errors.New("user" + user)
	}
	if document["stream_options"] == nil {
		return nil
	}
	options, isObject := document["stream_options"].(map[string]any)
	if value, has := options["include_usage"]; !isObject || has && !boolean(value) {
		return errors.New("stream_options")
	}
	return nil
}

// counted is the document without what does not count; it changes the document.
func counted(document map[string]any) map[string]any {
	for _, name := range []string{"model", "stream", "stream_options", "user", "metadata"} {
		delete(document, name)
	}
	if document["store"] == false {
		delete(document, "store")
	}
	return document
}

// referenceEdit does to a document what the edits do to its body; it changes the document.
func referenceEdit(document map[string]any, params, force []Set) map[string]any {
	forced := map[string]bool{}
	for _, s := range force {
		referenceSet(document, s, true)
		for _, name := range append(s.Aliases, s.Key) {
			forced[name] = true
		}
	}
	for _, s := range params {
		shared := false
		for _, name := range append(s.Aliases, s.Key) {
			shared = shared || forced[name]
		}
		if !shared {
			referenceSet(document, s, false)
		}
	}
	return document
}

func referenceSet(document map[string]any, s Set, force bool) {
	var value any
	d := json.NewDecoder(bytes.NewReader(s.Value))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		panic(err)
	}
	names := append([]string{s.Key}, s.Aliases...)
	place, present := "", false
	for _, name := range names {
		old, has := document[name]
		if has && old != nil {
			present = true
			if force {
				document[name] = value
			}
		} else if has && place == "" {
			place = name
		}
	}
	if place == "" {
		place = s.Key
	}
	if !present {
		document[place] = value
	}
}
