package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
)

// coarse leaves the five highest bits of each colour.
func coarse(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA()
	return color.RGBA{uint8(r>>8) & 0xf8, uint8(g>>8) & 0xf8, uint8(b>>8) & 0xf8, 0xff}
}

// most is what a picture may have, in bytes.
const most = 250_000

// reduced writes a PNG anew with the few colours that it has most of: charts have flat
// areas, so that nothing is lost that can be seen. A picture that is still too large
// gets fewer colours. Rows at the end that are all of the background's colour go.
func reduced(content []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	bounds, chosen := survey(full)
	var out []byte
	for _, count := range []int{48, 36, 28, 20, 14, 10} {
		out, err = paletted(full, bounds, chosen[:min(count, len(chosen))])
		if err != nil || len(out) < most {
			break
		}
	}
	return out, err
}

// weight is what a pixel counts for in the choice of colours: thin lines are told apart
// by their colour, shades of grey at the edges of letters need not be.
func weight(c color.RGBA) int {
	if spread := int(max(c.R, c.G, c.B)) - int(min(c.R, c.G, c.B)); spread > 64 {
		return 8
	}
	return 1
}

// survey returns what of a picture is not empty, and its colours: the most used first,
// where what is colourful counts for more.
func survey(full image.Image) (image.Rectangle, color.Palette) {
	counts := map[color.RGBA]int{}
	bounds := full.Bounds()
	background := coarse(full.At(bounds.Min.X, bounds.Min.Y))
	end := bounds.Min.Y
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := coarse(full.At(x, y))
			counts[c] += weight(c)
			if c != background {
				end = y + 1
			}
		}
	}
	bounds.Max.Y = min(end+8, bounds.Max.Y)
	var chosen color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return cmp.Compare(counts[b], counts[a]) }) {
		chosen = append(chosen, c)
	}
	return bounds, chosen
}

// paletted writes a part of a picture with the nearest of the chosen colours.
func paletted(full image.Image, bounds image.Rectangle, chosen color.Palette) ([]byte, error) {
	out := image.NewPaletted(bounds, chosen)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := coarse(full.At(x, y))
			i, known := nearest[c]
			if !known {
				i = uint8(chosen.Index(c)) //nolint:gosec // below 28
				nearest[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out)
	return b.Bytes(), err
}
