package sdk

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompletions(t *testing.T) {
	c := newClient(t)
	params := openai.CompletionNewParams{
		Model:  "demo",
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{question("Once upon"), question("a time")}},
	}
	whole, err := c.Completions.New(t.Context(), params)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 2)
	for _, options := range [][]option.RequestOption{{fresh()}, nil} {
		var texts [2]string
		for _, chunk := range all(t, c.Completions.NewStreaming(t.Context(), params, options...)) {
			for _, choice := range chunk.Choices {
				texts[choice.Index] += choice.Text
			}
		}
		assert.Equal(t, [2]string{whole.Choices[0].Text, whole.Choices[1].Text}, texts)
	}
}

func TestEmbeddings(t *testing.T) {
	c := newClient(t)
	texts := []string{question("north"), question("south")}
	embed := func(format openai.EmbeddingNewParamsEncodingFormat, want string) []openai.Embedding {
		var head *http.Response
		got, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
			Model: "demo-embed", EncodingFormat: format, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts},
		}, option.WithResponseInto(&head))
		require.NoError(t, err, detail(err))
		require.Len(t, got.Data, len(texts))
		assert.Equal(t, want, head.Header.Get("x-wedge-cache"), format)
		return got.Data
	}
	digits := embed(openai.EmbeddingNewParamsEncodingFormatFloat, "miss")
	packed := embed(openai.EmbeddingNewParamsEncodingFormatBase64, "miss")
	again := embed(openai.EmbeddingNewParamsEncodingFormatFloat, "hit-memory")
	for i := range texts {
		assert.Greater(t, len(digits[i].Embedding), 100)
		assert.InDeltaSlice(t, digits[i].Embedding, packed[i].Embedding, 1e-6)
		assert.Equal(t, digits[i].Embedding, again[i].Embedding)
	}
}

func TestModels(t *testing.T) {
	c := newClient(t)
	page, err := c.Models.List(t.Context())
	require.NoError(t, err)
	ids := make([]string, 0, len(page.Data))
	for _, model := range page.Data {
		ids = append(ids, model.ID)
		got, err := c.Models.Get(t.Context(), model.ID)
		require.NoError(t, err, detail(err))
		assert.Equal(t, model.ID, got.ID)
	}
	assert.Subset(t, ids, []string{"demo", "demo-embed"})
	_, err = c.Models.Get(t.Context(), "no-such-model")
	wantError(t, err, http.StatusNotFound, "unknown_model")
}

func TestMedia(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	images, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "sim/painter", Prompt: question("A red square")})
	require.NoError(t, err, detail(err))
	picture, err := base64.StdEncoding.DecodeString(images.Data[0].B64JSON)
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)

	speech, err := c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{
		Model: "sim/speaker", Input: question("Hello"), Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")},
	})
	require.NoError(t, err, detail(err))
	wav, err := io.ReadAll(speech.Body)
	require.NoError(t, err)
	require.NoError(t, speech.Body.Close())
	require.Equal(t, "RIFF", string(wav[:4]))
	assert.EqualValues(t, len(wav), binary.LittleEndian.Uint32(wav[4:])+8, "the sound is whole")

	heard, err := c.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{
		Model: "sim/listener", File: openai.File(bytes.NewReader(wav), "said.wav", "audio/wav"),
	})
	require.NoError(t, err, detail(err))
	assert.NotEmpty(t, heard.AsTranscription().Text)

	judged, err := c.Moderations.New(ctx, openai.ModerationNewParams{
		Model: "sim/judge", Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"peace", "I will KILL it"}},
	})
	require.NoError(t, err, detail(err))
	assert.False(t, judged.Results[0].Flagged)
	assert.True(t, judged.Results[1].Flagged)
}

func TestFiles(t *testing.T) {
	c, ctx := newClient(t, option.WithHeader("x-wedge-provider", "sim")), t.Context()
	text := question("A line") + "\n"
	made, err := c.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader(text), "in.jsonl", "application/jsonl"), Purpose: openai.FilePurposeUserData,
	})
	require.NoError(t, err, detail(err))
	assert.EqualValues(t, len(text), made.Bytes)
	got, err := c.Files.Get(ctx, made.ID)
	require.NoError(t, err, detail(err))
	assert.Equal(t, made.Filename, got.Filename)
	content, err := c.Files.Content(ctx, made.ID)
	require.NoError(t, err, detail(err))
	back, err := io.ReadAll(content.Body)
	require.NoError(t, err)
	require.NoError(t, content.Body.Close())
	assert.Equal(t, text, string(back))

	var listed []string
	for page := c.Files.ListAutoPaging(ctx, openai.FileListParams{}); page.Next(); {
		listed = append(listed, page.Current().ID)
	}
	assert.Contains(t, listed, made.ID)
	gone, err := c.Files.Delete(ctx, made.ID)
	require.NoError(t, err, detail(err))
	assert.True(t, gone.Deleted)
	_, err = c.Files.Get(ctx, made.ID)
	assert.Error(t, err)
}
