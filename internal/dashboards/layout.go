package dashboards

// The grid of Grafana has 24 columns. At 1280 px a column is about 50 px wide:
// a graph of 8 columns or a tile of 4 can still be read there.
const (
	gridColumns = 24
	rowHeight   = 1
)

// place is where a panel stands, in grid units.
type place struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// size is the wanted or the usual size of a panel.
func (p Panel) size() (width, height int) {
	width, height = 12, 8
	switch p.Kind {
	case Stat:
		width, height = 4, 4
	case Text:
		width, height = gridColumns, 3
	case Table:
		width = gridColumns
	}
	if p.Width > 0 {
		width = p.Width
	}
	if p.Height > 0 {
		height = p.Height
	}
	return width, height
}

// flow places the panels of a row from left to right in lines, the first line at
// y. It returns the places and the first free y below them.
func flow(panels []Panel, y int) (places []place, below int) {
	x, tallest := 0, 0
	for _, panel := range panels {
		width, height := panel.size()
		if x+width > gridColumns {
			x, y, tallest = 0, y+tallest, 0
		}
		places = append(places, place{X: x, Y: y, W: width, H: height})
		x += width
		tallest = max(tallest, height)
	}
	return places, y + tallest
}
