package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// tools reads the functions that the model may call. Every other tool runs at Google's.
func (r *requestReader) tools(v dialect.Raw) {
	r.chat.Tools = r.chat.Tools[:0]
	it := r.items("tools", v)
	for it.next() && r.err == nil {
		it.Enter('{')
		for k, ok := it.Key(true); ok && r.err == nil; k, ok = it.Key(false) {
			v := it.Skip()
			switch string(k) {
			case "functionDeclarations", "function_declarations":
				list := r.items("tools.functionDeclarations", v)
				for list.next() && r.err == nil {
					r.declaration(&list.Fields)
				}
			default:
				if !isNull(v) {
					r.refuse("tools.", k)
				}
			}
		}
		if it.Bad {
			r.bad("tools", "a list of objects")
		}
	}
}

func (r *requestReader) declaration(f *jsonscan.Fields) {
	const path = "tools.functionDeclarations."
	var t dialect.Tool
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "name":
			t.Name = r.text(path, "name", v)
		case "description":
			t.Description = r.text(path, "description", v)
		case "parameters":
			if v = given(v); v != nil {
				t.Schema = r.plainSchema(path+"parameters", v)
			}
		case "parametersJsonSchema", "parameters_json_schema":
			if v = given(v); v != nil {
				t.Schema = v
			}
		case "behavior":
			r.unless(path, k, v, `"UNSPECIFIED"`, `"BLOCKING"`)
		default:
			r.unknown(path, k, v)
		}
	}
	if len(t.Name) == 0 {
		r.bad(path+"name", "the name of a function")
	}
	r.chat.Tools = append(r.chat.Tools, t)
}

// toolConfig reads whether and which functions the model must call.
func (r *requestReader) toolConfig(v dialect.Raw) {
	r.chat.Choice, r.chat.ChoiceName = dialect.ChoiceUnsaid, nil
	f, ok := r.object("toolConfig", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "functionCallingConfig", "function_calling_config":
			r.calling(f.Skip())
		default:
			r.unknown("toolConfig.", k, f.Skip())
		}
	}
}

func (r *requestReader) calling(v dialect.Raw) {
	const path = "toolConfig.functionCallingConfig."
	mode, names, only := "", 0, dialect.Written(nil)
	f, ok := r.object("toolConfig.functionCallingConfig", v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		v := f.Skip()
		switch string(k) {
		case "mode":
			mode = wordOf(v)
		case "allowedFunctionNames", "allowed_function_names":
			elements(v, func(_ int, v []byte) { names, only = names+1, r.text(path, "allowedFunctionNames", v) })
		case "streamFunctionCallArguments", "stream_function_call_arguments":
			r.unless(path, k, v, "false")
		default:
			r.unknown(path, k, v)
		}
	}
	c := r.chat
	switch mode {
	case "AUTO", "auto":
		c.Choice = dialect.ChoiceAuto
	case "NONE", "none":
		c.Choice = dialect.ChoiceNone
	case "ANY", "any":
		if c.Choice = dialect.ChoiceAny; names == 1 {
			c.Choice, c.ChoiceName, names = dialect.ChoiceNamed, only, 0
		}
	case "VALIDATED", "validated":
		c.Choice = dialect.ChoiceAuto
		addPath(r.lost, path+"mode", nil)
	case "", "MODE_UNSPECIFIED":
	default:
		r.bad(path+"mode", "AUTO, ANY, NONE or VALIDATED")
	}
	if names > 0 {
		addPath(r.lost, path+"allowedFunctionNames", nil)
	}
}
