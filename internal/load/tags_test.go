package load

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// taggedWorkload has a case that reads what the opening saves, with that as its
// fallback, one that needs nothing, one that is limited, and one that writes.
func taggedWorkload() *Workload {
	save := testCase("save", 2)
	save.Tags = []string{"write"}
	get := testCase("get", 3)
	get.Tags, get.Fallback, get.NeedsOpening = []string{"read"}, save, true
	list := testCase("list", 4)
	list.Tags, list.NeedsOpening = []string{"read"}, true
	health := testCase("health", 5)
	health.Tags, health.Class = []string{"read"}, "health"
	slow := testCase("slow", 1)
	slow.Tags, slow.Class, slow.MinInterval = []string{"write"}, "complex", time.Minute
	never := testCase("never", 0)
	return &Workload{
		Name: "test", Cases: []*Case{health, get, list, save, slow, never}, Opening: &Opening{Case: save, Times: 3},
		Notes: []string{"expired is left out: there is no key"},
	}
}

func TestSelect(t *testing.T) {
	for name, test := range map[string]struct {
		tags, exclude []string
		// want are the cases with their shares in percent, opening is whether it stays.
		want    map[string]float64
		opening bool
		// notes stand in the notes.
		notes []string
	}{
		"all":               {want: map[string]float64{"health": 500 / 15., "get": 20, "list": 400 / 15., "save": 200 / 15., "slow": 100 / 15., "never": 0}, opening: true},
		"blanks are no tag": {tags: []string{" ", ""}, want: map[string]float64{"health": 500 / 15., "get": 20, "list": 400 / 15., "save": 200 / 15., "slow": 100 / 15., "never": 0}, opening: true},
		"a case by its name": {
			tags: []string{"health"}, want: map[string]float64{"health": 100},
			notes: []string{"5 of 6 cases by their tags: get, list, save, slow, never", "3 x save for each virtual user at the start: no selected case needs it"},
		},
		"cases by their class":                 {tags: []string{"complex", "health"}, want: map[string]float64{"health": 500 / 6., "slow": 100 / 6.}},
		"a tag, with what its cases need":      {tags: []string{"read"}, want: map[string]float64{"health": 500 / 12., "get": 25, "list": 400 / 12., "save": 0}, opening: true},
		"several tags":                         {tags: []string{"save", " get", "get"}, want: map[string]float64{"get": 60, "save": 40}, opening: true},
		"the opening without a fallback":       {tags: []string{"list"}, want: map[string]float64{"list": 100, "save": 0}, opening: true},
		"the opening's case alone":             {tags: []string{"save"}, want: map[string]float64{"save": 100}, opening: true},
		"without some":                         {exclude: []string{"complex", "health"}, want: map[string]float64{"get": 300 / 9., "list": 400 / 9., "save": 200 / 9., "never": 0}, opening: true},
		"some of the tags, without some of it": {tags: []string{"read"}, exclude: []string{"get"}, want: map[string]float64{"health": 500 / 9., "list": 400 / 9., "save": 0}, opening: true},
		"what is excluded is not sent for others either": {
			exclude: []string{"write"}, want: map[string]float64{"health": 500 / 9., "list": 400 / 9., "never": 0},
			notes: []string{"get is left out: it may need save, which is excluded", "2 of 6 cases by their tags: save, slow", "3 x save for each virtual user at the start: it is excluded"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := taggedWorkload()
			got, err := before.Select(Selection{Tags: test.tags, Exclude: test.exclude})
			if err != nil {
				t.Fatal(err)
			}
			shares := map[string]float64{}
			for _, c := range got.Cases {
				shares[c.Name] = 100 * got.Share(c)
				if want, ok := test.want[c.Name]; !ok || math.Abs(want-shares[c.Name]) > 1e-9 {
					t.Errorf("%s has %v %%, want %v", c.Name, shares[c.Name], want)
				}
			}
			if len(shares) != len(test.want) || (got.Opening != nil) != test.opening {
				t.Errorf("got %v and the opening %+v, want %v", shares, got.Opening, test.want)
			}
			for _, note := range append(test.notes, before.Notes...) {
				if !slices.Contains(got.Notes, note) {
					t.Errorf("want the note %q among %q", note, got.Notes)
				}
			}
			// All that belongs together is of the new workload, and can be sent.
			mix, err := NewMix(got, 4, 1)
			if err != nil {
				t.Fatal(err)
			}
			for n := range int64(500) {
				a := mix.Next(n, time.Duration(n)*time.Second)
				if !slices.Contains(got.Cases, a.Case) || (a.Case.Weight == 0 && (got.Opening == nil || n >= 12)) {
					t.Fatalf("arrival %d is %s", n, a.Case.Name)
				}
			}
		})
	}
}

func TestSelectNamesTheSelection(t *testing.T) {
	got, err := taggedWorkload().Select(Selection{Tags: []string{"save", "get", "save"}, Exclude: []string{"slow"}})
	if err != nil || got.Name != "test[get,save,-slow]" {
		t.Errorf("got %+v, %v", got, err)
	}
	all := taggedWorkload()
	if same, err := all.Select(Selection{}); err != nil || same != all {
		t.Errorf("nothing selected is all: %+v, %v", same, err)
	}
}

func TestSelectRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		tags, exclude []string
		want          []string
	}{
		"a tag of no case, with the nearest": {tags: []string{"raed"}, want: []string{`no case has the tag "raed", did you mean read? The tags are complex, health, read, standard, write, and the name of each case`}},
		"the nearest may be a name":          {exclude: []string{"lists"}, want: []string{"did you mean list?"}},
		"nothing is near":                    {tags: []string{"payments"}, want: []string{`no case has the tag "payments". The tags are`}},
		"every one of them":                  {tags: []string{"payments"}, exclude: []string{"refunds"}, want: []string{"payments", "refunds"}},
		"why a case is not there":            {tags: []string{"expired"}, want: []string{"expired is left out: there is no key"}},
		"nothing left":                       {tags: []string{"read"}, exclude: []string{"read"}, want: []string{"read,-read leaves no case to send"}},
		"nothing that is drawn":              {tags: []string{"never"}, want: []string{"never leaves no case to send"}},
		"only what is limited":               {tags: []string{"slow"}, want: []string{"slow leaves only what a virtual user may not have more often: slow (once in 1m0s)"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := taggedWorkload().Select(Selection{Tags: test.tags, Exclude: test.exclude})
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestTagsAreLabels(t *testing.T) {
	broken := testCase("one", 1)
	broken.Tags = []string{"Not a tag"}
	if _, err := NewMix(&Workload{Name: "broken", Cases: []*Case{broken}}, 1, 1); err == nil || !strings.Contains(err.Error(), `"Not a tag"`) {
		t.Errorf("got %v", err)
	}
}
