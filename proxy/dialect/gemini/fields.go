package gemini

import "github.com/wedge-proxy/wedge/proxy/dialect"

// fieldNames are what clients of the API call the fields; "" for those that no request of theirs can hold.
var fieldNames = [dialect.Fields]string{
	dialect.FieldTopP:             "generationConfig.topP",
	dialect.FieldTopK:             "generationConfig.topK",
	dialect.FieldTemperature:      "generationConfig.temperature",
	dialect.FieldFrequencyPenalty: "generationConfig.frequencyPenalty",
	dialect.FieldPresencePenalty:  "generationConfig.presencePenalty",
	dialect.FieldSeed:             "generationConfig.seed",
	dialect.FieldCount:            "generationConfig.candidateCount",
	dialect.FieldStop:             "generationConfig.stopSequences",
	dialect.FieldLogProbs:         "generationConfig.responseLogprobs",
	dialect.FieldFormat:           "generationConfig.responseMimeType",
	dialect.FieldSchemaStrict:     "generationConfig.responseJsonSchema",
	dialect.FieldThinking:         "generationConfig.thinkingConfig.thinkingBudget",
	dialect.FieldEffort:           "generationConfig.thinkingConfig.thinkingLevel",
	dialect.FieldChoice:           "toolConfig.functionCallingConfig",
	dialect.FieldSignature:        "contents.parts.thoughtSignature",
	dialect.FieldFailed:           "contents.parts.functionResponse.response.error",
	dialect.FieldFileName:         "contents.parts.inlineData.displayName",
	dialect.FieldDimensions:       "outputDimensionality",
	dialect.FieldTaskType:         "taskType",
	dialect.FieldTitle:            "title",
}

// FieldName implements dialect.Translator.
func (Codec) FieldName(_ dialect.Op, f dialect.Field) string { return fieldNames[f] }
