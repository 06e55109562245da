package anthropic

import "github.com/wedge-proxy/wedge/proxy/dialect"

// fieldNames are what clients of the API call the fields; "" for those that no request of theirs can hold.
var fieldNames = [dialect.Fields]string{
	dialect.FieldTopP:         "top_p",
	dialect.FieldTopK:         "top_k",
	dialect.FieldTemperature:  "temperature",
	dialect.FieldStop:         "stop_sequences",
	dialect.FieldFormat:       "output_config.format",
	dialect.FieldThinking:     "thinking",
	dialect.FieldEffort:       "output_config.effort",
	dialect.FieldUser:         "metadata.user_id",
	dialect.FieldParallel:     "tool_choice.disable_parallel_tool_use",
	dialect.FieldChoice:       "tool_choice",
	dialect.FieldToolStrict:   "tools.strict",
	dialect.FieldSchemaStrict: "output_config.format",
	dialect.FieldCache:        "cache_control",
	dialect.FieldSignature:    "messages.content.signature",
	dialect.FieldSystemTurn:   "messages.role",
	dialect.FieldFileName:     "messages.content.title",
	dialect.FieldFailed:       "messages.content.is_error",
}

// FieldName implements dialect.Translator.
func (Codec) FieldName(_ dialect.Op, f dialect.Field) string { return fieldNames[f] }
