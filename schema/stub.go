package schema

import "errors"

type Normalizer struct{ cat *Catalogue }

func NewNormalizer(c *Catalogue) *Normalizer { return &Normalizer{cat: c} }

func (n *Normalizer) Stream(res *Result, in Input)    { res.Reset() }
func (n *Normalizer) Telematic(res *Result, in Input) { res.Reset() }

func AppendReading(dst []byte, r *Reading) []byte { return dst }
func AppendGap(dst []byte, g *Gap) []byte         { return dst }

type Decoder struct{}

func NewDecoder() *Decoder                                { return &Decoder{} }
func (d *Decoder) Reading(r *Reading, data []byte) error { return errors.New("schema: not yet") }
func (d *Decoder) Gap(g *Gap, data []byte) error         { return errors.New("schema: not yet") }
func ReadingSchema() []byte                               { return nil }
func GapSchema() []byte                                   { return nil }
