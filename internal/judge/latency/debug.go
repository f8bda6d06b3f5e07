package latency

import "fmt"

func (d *Detector) debug(points []point, n *noise, s change) {
	if !Debug {
		return
	}
	fmt.Printf("now %d noise %+v change %+v\n", d.now-29_000_000, *n, s)
	for _, p := range points[max(0, len(points)-75):] {
		fmt.Printf("%.0f:%.3f ", p.t-29_000_000, p.x)
	}
	fmt.Println()
}

var Debug = false

func (d *Detector) debugS(s *suspicion, from string) {
	if Debug {
		fmt.Printf("%s: now %d kind %s rise %.3f z %.2f at %.1f (%v..%v) noise %+v\n", from, d.now-29_000_000, s.kind, s.rise, s.z, s.at-29_000_000, s.low-29_000_000, s.high-29_000_000, d.all.noise)
	}
}
