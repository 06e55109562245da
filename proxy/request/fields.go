package request

// readFields reads the top-level members that a View offers, and marks those that the canonical form leaves out.
func (v *View) readFields() error {
	for k := range v.top {
		if err := v.readField(&v.top[k]); err != nil {
			return err
		}
	}
	return nil
}

func (v *View) readField(m *member) (err error) {
	key := v.keyOf(m)
	flags := role(key)
	if flags == 0 {
		return nil
	}
	m.flags |= flags
	switch string(key) {
	case "model":
		if v.fields.model, err = v.text(m, "model", "it must be a string"); err == nil && len(v.fields.model) == 0 {
			err = &FieldError{"model", "it must be a string that is not empty"}
		}
	case "stream":
		v.fields.stream, _, err = v.flag(m, "stream")
	case "stream_options":
		err = v.readStreamOptions(m)
	case "store":
		v.fields.store, v.fields.storeSet, err = v.flag(m, "store")
	case "user":
		if !v.isNull(m) {
			v.fields.user, err = v.text(m, "user", "it must be a string or null")
		}
	case "metadata":
		v.readMetadata(m)
	}
	return err
}

// role is the flag of a top-level member for the canonical form.
func role(key []byte) uint8 {
	switch string(key) {
	case "model", "stream", "stream_options", "user", "metadata":
		return transport
	case "store":
		return storeFlag
	}
	return 0
}

func (v *View) readStreamOptions(m *member) (err error) {
	switch {
	case v.isNull(m):
		return nil
	case v.body[m.start] != '{':
		return &FieldError{"stream_options", "it must be an object or null"}
	}
	usage := v.child(m, "include_usage")
	switch {
	case usage == nil:
		return nil
	case v.isNull(usage):
		return &FieldError{"stream_options.include_usage", "it must be true or false"}
	}
	v.fields.includeUsage, _, err = v.flag(usage, "stream_options.include_usage")
	return err
}

func (v *View) readMetadata(m *member) {
	if id := v.child(m, "user_id"); id != nil && v.body[id.start] == '"' {
		v.fields.metadataUser = v.textOf(id)
	}
}

func (v *View) isNull(m *member) bool { return v.body[m.start] == 'n' }

// flag is a member that must be true, false or null; set is false for null.
func (v *View) flag(m *member, param string) (value, set bool, err error) {
	switch v.body[m.start] {
	case 't':
		return true, true, nil
	case 'f':
		return false, true, nil
	case 'n':
		return false, false, nil
	}
	return false, false, &FieldError{param, "it must be true or false"}
}

// text is the value of a member that must be a string.
func (v *View) text(m *member, param, reason string) ([]byte, error) {
	if v.body[m.start] != '"' {
		return nil, &FieldError{param, reason}
	}
	return v.textOf(m), nil
}

// textOf is the value of a string member: in the body if it has no escapes, else in v.decoded.
func (v *View) textOf(m *member) []byte {
	s := v.body[m.start+1 : m.end-1 : m.end-1]
	if m.flags&escapes == 0 {
		return s
	}
	first, end := v.decode(s)
	return v.decoded[first:end:end]
}
