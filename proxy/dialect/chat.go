package dialect

// The model in the middle of the star. Texts and values travel as they are written in JSON, since all dialects write
// them alike: Written is the inside of a string with its escapes and without its quotes, Raw is a value of any kind.
// Both are borrowed from the document that was read, or from the Scratch of what holds them; nil means absent.
type (
	Written = []byte
	Raw     = []byte
)

// Role says who speaks a turn.
type Role uint8

const (
	User      Role = iota
	Assistant      // the model
	Results        // of the tools that the model called; its parts are PartResults
	System         // instructions that come after the conversation began
)

// PartKind says what a part is, and which of its fields count.
type PartKind uint8

const (
	PartText     PartKind = iota // Text, Cache
	PartRefusal                  // Text: why the model does not answer
	PartImage                    // one of Data (with Media), URL and FileID; Detail, Cache
	PartAudio                    // Data and Media
	PartVideo                    // one of Data (with Media), URL and FileID
	PartFile                     // a document: Name; one of Data (with Media), Text (plain text), URL and FileID; Cache
	PartThinking                 // Text, and Signature: reasoning that the model showed
	PartHidden                   // Signature: reasoning that only its signer can read
	PartCall                     // ID, Name, Args, Signature, Cache: a tool call of the model
	PartResult                   // ID, Name, From and To in Chat.Nested, Failed, Cache: what a tool answered
)

// Part is a piece of a turn's or an answer's content.
type Part struct {
	Kind   PartKind
	Text   Written
	Media  Written // MIME type, such as image/png; nil where nobody knows
	Data   Written // base64
	URL    Written
	FileID Written // a name that only the provider knows that keeps the file
	Name   Written // of a file, or of a tool
	Detail Written // of an image: low | high | auto
	ID     Written // of a call
	Args   Raw     // the arguments: an object, or a JSON string of which the text is one (see AppendArgs)

	From, To int  // of a result: its parts, in Chat.Nested
	Failed   bool // of a result: it is an error

	Signature Written // what proves to its signer that a part is its own, byte for byte
	Signer    ID      // with Signature

	Cache Raw // cache_control as Anthropic has it: where the provider's prompt cache may cut
}

// Turn is what one side says: Parts[From:To] of the Chat.
type Turn struct {
	Role     Role
	From, To int
	Name     Written // of the speaker, among several of one role
}

// Tool is a function that the model may call.
type Tool struct {
	Name, Description Written
	Schema            Raw // JSON schema of the arguments; nil: none are taken
	Strict            Raw // true | false
	Cache             Raw
}

// Choice says whether and which tools the model must call.
type Choice uint8

const (
	ChoiceUnsaid Choice = iota
	ChoiceAuto
	ChoiceNone
	ChoiceAny   // some tool
	ChoiceNamed // the tool Chat.ChoiceName
)

// Format says what the answer's text must be.
type Format uint8

const (
	FormatUnsaid Format = iota
	FormatText
	FormatJSON   // any JSON object
	FormatSchema // JSON of Chat.Schema
)

// Thinking says whether the model reasons before it answers.
type Thinking uint8

const (
	ThinkingUnsaid   Thinking = iota
	ThinkingOff               // not at all
	ThinkingAdaptive          // as much as it thinks fit
	ThinkingBudget            // at most Chat.Budget tokens
)

// Chat is a request for the next turn of a conversation, in the words of no dialect. It is meant to be pooled: Reset
// makes it ready again.
type Chat struct {
	System []Part // PartTexts: the instructions that come before the conversation
	Turns  []Turn
	Parts  []Part // of all Turns, in order
	Nested []Part // of all results: texts, images and files

	Tools      []Tool
	Choice     Choice
	ChoiceName Written
	Parallel   Raw // true | false: several calls in one turn

	MaxTokens         int64 // of the answer, its reasoning included; 0: unsaid
	Temperature       Raw   // numbers as written; nil: unsaid
	TopP, TopK        Raw
	FrequencyPenalty  Raw
	PresencePenalty   Raw
	Seed              Raw
	Count             int64 // answers; 0: unsaid, which is one
	Stop              []Written
	LogProbs          bool
	TopLogProbs       Raw
	Format            Format
	Schema            Raw // with FormatSchema
	SchemaName        Written
	SchemaDescription Written
	SchemaStrict      Raw
	Thinking          Thinking
	Budget            int64   // tokens, with ThinkingBudget
	ShowThinking      bool    // the client wants to see the reasoning, where the dialect has a switch
	Effort            Written // none | minimal | low | medium | high | xhigh | max
	User              Written // whom the client asks for

	// What the request says beyond: paths of members, in the words of the client's dialect, that nothing above stands
	// for, such as "logit_bias" or "messages.cache_id". Members that change nothing (null, empty, or the dialect's own
	// default) are not among them.
	Unknown []string

	Scratch []byte // where texts lie that had to be put together
}

// Reset makes c ready for another request. It keeps buffers of ordinary size.
func (c *Chat) Reset() {
	*c = Chat{
		System: reuse(c.System), Turns: reuse(c.Turns), Parts: reuse(c.Parts), Nested: reuse(c.Nested),
		Tools: reuse(c.Tools), Stop: reuse(c.Stop), Unknown: reuse(c.Unknown), Scratch: reuseBytes(c.Scratch),
	}
}

const (
	keptElements = 1 << 10
	keptBytes    = 64 << 10
)

// reuse is s without elements, with nothing left of the old ones, or nil if it is larger than is worth keeping.
func reuse[T any](s []T) []T {
	if cap(s) > keptElements {
		return nil
	}
	clear(s)
	return s[:0]
}

func reuseBytes(b []byte) []byte {
	if cap(b) > keptBytes {
		return nil
	}
	return b[:0]
}

// Field is something a request says that a dialect, or a provider's operation, may have no word for.
type Field uint8

const (
	FieldTopP Field = iota
	FieldTopK
	FieldTemperature
	FieldFrequencyPenalty
	FieldPresencePenalty
	FieldSeed
	FieldCount
	FieldStop // more stop sequences than it takes, or none at all
	FieldLogProbs
	FieldFormat
	FieldSchemaStrict
	FieldSchemaDescription
	FieldThinking
	FieldEffort
	FieldUser
	FieldParallel
	FieldChoice
	FieldToolStrict
	FieldCache      // where the prompt cache may cut
	FieldSignature  // thinking, or a signature, of another signer
	FieldDetail     // of an image
	FieldName       // of a speaker
	FieldSystemTurn // instructions that came after the conversation began: they were put before it
	FieldFailed     // that a tool's result is an error
	FieldFileName   // of a picture, sound, film or document
	FieldDimensions
	FieldTaskType
	FieldTitle
	Fields // how many there are
)

// FieldSet is a set of Fields.
type FieldSet uint64

// Add puts f into the set.
func (s *FieldSet) Add(f Field) { *s |= 1 << f }

// Has says that f is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// Finish says why an answer ended.
type Finish uint8

const (
	FinishUnsaid   Finish = iota
	FinishStop            // it is complete
	FinishSequence        // a stop sequence came
	FinishLength          // the bound on its length, or the model's context
	FinishCalls           // the model wants its tools called
	FinishFilter          // the provider's filter
	FinishRefusal         // the model refuses to answer
	FinishPause           // the provider wants to be asked to go on
)

// Answer is one of a reply's answers: Parts[From:To] of the Reply, of the kinds text, refusal, thinking, hidden, call,
// image and audio.
type Answer struct {
	Index    int
	From, To int
	Finish   Finish
	Sequence Written // with FinishSequence, where the dialect tells which it was
	LogProbs Raw     // as OpenAI's chat has them
}

// Reply is a whole answer in the words of no dialect. It is meant to be pooled.
type Reply struct {
	ID, Model Written
	Created   int64 // seconds since 1970; 0: untold
	Answers   []Answer
	Parts     []Part
	Usage     Usage

	Lost    []string // paths of what the answer says beyond, in the words of the provider's dialect
	Scratch []byte
}

// Reset makes r ready for another answer. It keeps buffers of ordinary size.
func (r *Reply) Reset() {
	*r = Reply{Answers: reuse(r.Answers), Parts: reuse(r.Parts), Lost: reuse(r.Lost), Scratch: reuseBytes(r.Scratch)}
}

// EventKind says what a streamed event tells, and which of its fields count.
type EventKind uint8

const (
	EventStart     EventKind = iota // ID, Model, Created; Usage as far as it is known: the first event, once
	EventText                       // Text
	EventRefusal                    // Text
	EventThinking                   // Text
	EventSignature                  // Signature and Signer of the thinking before it, or of the call before it
	EventHidden                     // Signature and Signer: reasoning that only its signer can read
	EventCall                       // Call, ID, Name: a tool call begins
	EventArgs                       // Call, Text: a piece of its arguments, the text of a JSON object as the inside of a string
	EventLogProbs                   // Raw: those of the text before it, as OpenAI's chat has them
	EventMedia                      // Media and Text (base64): a picture or sound, whole
	EventFinish                     // Finish, Sequence: of one answer
	EventUsage                      // Usage: of the whole, once, after every EventFinish
	EventEnd                        // the good end, once, after everything else
)

// Event is a piece of a streamed answer in the words of no dialect. Its bytes are good until the next event is read.
type Event struct {
	Kind   EventKind
	Answer int // index of the answer
	Call   int // ordinal of the tool call within the answer, from 0

	Text      Written
	ID        Written
	Model     Written
	Name      Written
	Media     Written
	Signature Written
	Signer    ID
	Raw       Raw
	Finish    Finish
	Sequence  Written
	Created   int64
	Usage     Usage
}

// Embedding is a request for vectors in the words of no dialect.
type Embedding struct {
	Inputs     []Written
	Dimensions int64   // 0: unsaid
	Base64     bool    // the client takes them as base64 of little-endian float32
	TaskType   Written // as Gemini has it
	Title      Written
	User       Written
	Unknown    []string // as in Chat
}

// Reset makes e ready for another request.
func (e *Embedding) Reset() {
	*e = Embedding{Inputs: reuse(e.Inputs), Unknown: reuse(e.Unknown)}
}

// Vectors is an answer with vectors: each a JSON array of numbers, or a JSON string with base64 of little-endian
// float32.
type Vectors struct {
	Items []Raw
	Usage Usage
}

// Reset makes v ready for another answer.
func (v *Vectors) Reset() { *v = Vectors{Items: reuse(v.Items)} }
