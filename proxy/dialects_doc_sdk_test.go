package proxy

import (
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	sharedparams "github.com/openai/openai-go/v3/shared"
	"github.com/stretchr/testify/assert"
	"google.golang.org/genai"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// docTypes are the SDKs' types of an operation's parameters, by the path at which they stand.
var docTypes = map[dialect.Op]map[string][]any{
	dialect.OpChat: {
		"":               {openai.ChatCompletionNewParams{}},
		"stream_options": {openai.ChatCompletionStreamOptionsParam{}},
		"messages": {
			openai.ChatCompletionSystemMessageParam{}, openai.ChatCompletionDeveloperMessageParam{}, openai.ChatCompletionUserMessageParam{},
			openai.ChatCompletionAssistantMessageParam{}, openai.ChatCompletionToolMessageParam{}, openai.ChatCompletionFunctionMessageParam{},
		},
		"messages.content": {
			openai.ChatCompletionContentPartTextParam{}, openai.ChatCompletionContentPartImageParam{}, openai.ChatCompletionContentPartInputAudioParam{},
			openai.ChatCompletionContentPartFileParam{},
		},
		"messages.content.image_url":  {openai.ChatCompletionContentPartImageImageURLParam{}},
		"messages.content.file":       {openai.ChatCompletionContentPartFileFileParam{}},
		"messages.tool_calls":         {openai.ChatCompletionMessageFunctionToolCallParam{}},
		"tools":                       {openai.ChatCompletionFunctionToolParam{}, openai.ChatCompletionCustomToolParam{}},
		"tools.function":              {sharedparams.FunctionDefinitionParam{}},
		"response_format.json_schema": {sharedparams.ResponseFormatJSONSchemaJSONSchemaParam{}},
	},
	dialect.OpResponses: {
		"": {responses.ResponseNewParams{}},
		"input": {
			responses.EasyInputMessageParam{}, responses.ResponseOutputMessageParam{}, responses.ResponseReasoningItemParam{},
			responses.ResponseFunctionToolCallParam{}, responses.ResponseInputItemFunctionCallOutputParam{},
		},
		"input.content": {
			responses.ResponseInputTextParam{}, responses.ResponseInputImageParam{}, responses.ResponseInputFileParam{},
			responses.ResponseOutputTextParam{}, responses.ResponseOutputRefusalParam{},
		},
		"tools":       {responses.FunctionToolParam{}},
		"reasoning":   {sharedparams.ReasoningParam{}},
		"text":        {responses.ResponseTextConfigParam{}},
		"text.format": {responses.ResponseFormatTextJSONSchemaConfigParam{}},
	},
	dialect.OpCompletions: {"": {openai.CompletionNewParams{}}},
	dialect.OpEmbeddings:  {"": {openai.EmbeddingNewParams{}}},
	dialect.OpMessages: {
		"":         {anthropic.MessageNewParams{}, anthropic.MessageCountTokensParams{}, anthropic.BetaMessageNewParams{}},
		"system":   {anthropic.TextBlockParam{}},
		"messages": {anthropic.MessageParam{}},
		"messages.content": {
			anthropic.TextBlockParam{}, anthropic.ImageBlockParam{}, anthropic.DocumentBlockParam{}, anthropic.ToolUseBlockParam{},
			anthropic.ToolResultBlockParam{}, anthropic.ThinkingBlockParam{}, anthropic.RedactedThinkingBlockParam{},
		},
		"cache_control": {anthropic.CacheControlEphemeralParam{}},
		"tools":         {anthropic.ToolParam{}},
		"tool_choice":   {anthropic.ToolChoiceAutoParam{}, anthropic.ToolChoiceToolParam{}},
		"thinking":      {anthropic.ThinkingConfigEnabledParam{}, anthropic.ThinkingConfigAdaptiveParam{}},
		"output_config": {anthropic.OutputConfigParam{}, anthropic.BetaOutputConfigParam{}},
		"metadata":      {anthropic.MetadataParam{}},
	},
	dialect.OpGenerate: {
		"":                                 {genai.GenerateContentConfig{}},
		"generationConfig":                 {genai.GenerationConfig{}},
		"generationConfig.thinkingConfig":  {genai.ThinkingConfig{}},
		"contents":                         {genai.Content{}},
		"contents.parts":                   {genai.Part{}},
		"contents.parts.inlineData":        {genai.Blob{}},
		"contents.parts.fileData":          {genai.FileData{}},
		"contents.parts.functionCall":      {genai.FunctionCall{}},
		"contents.parts.functionResponse":  {genai.FunctionResponse{}},
		"tools":                            {genai.Tool{}},
		"tools.functionDeclarations":       {genai.FunctionDeclaration{}},
		"toolConfig":                       {genai.ToolConfig{}},
		"toolConfig.functionCallingConfig": {genai.FunctionCallingConfig{}},
		"safetySettings":                   {genai.SafetySetting{}},
	},
	dialect.OpEmbed: {"": {genai.EmbedContentConfig{}}},
}

// docElsewhere are members of the SDKs' types that go over the wire elsewhere; "" for those that never do.
var docElsewhere = map[string]string{
	"httpOptions": "", "automaticContinuation": "", "generationOutputConfig": "outputConfig",
}

// membersOf are the JSON names of a type's members.
func membersOf(v any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" && f.IsExported() {
			names = append(names, name)
		}
	}
	return names
}

// Every member of the SDKs' types of parameters is in the example of a row, so that an SDK's new version shows what has
// none.
func TestDocumentedMembers(t *testing.T) {
	examples := map[dialect.Op][]any{}
	for _, table := range readDoc(t, "../docs/DIALECTS.md") {
		op, ok := docOps[table.section]
		for _, row := range table.rows {
			if ok {
				examples[op] = append(examples[op], decoded(t, codesOf(row.cells[1])[0]))
			}
		}
	}
	shown := func(op dialect.Op, path string) bool {
		for _, example := range examples[op] {
			if len(valuesAt(example, strings.Split(path, "."))) > 0 {
				return true
			}
		}
		return false
	}
	for op, types := range docTypes {
		for at, types := range types {
			for _, v := range types {
				names := membersOf(v)
				assert.NotEmpty(t, names, "%T", v)
				for _, name := range names {
					path := strings.TrimPrefix(at+"."+name, ".")
					if other, ok := docElsewhere[name]; ok {
						path = other
					}
					assert.True(t, path == "" || shown(op, path) || shown(op, within[op]+path), "%s: no row has the member %s of %T", op, path, v)
				}
			}
		}
	}
}

// within is where the members stand that an SDK has in one type with those of the request itself.
var within = map[dialect.Op]string{dialect.OpGenerate: "generationConfig.", dialect.OpEmbed: "embedContentConfig."}
