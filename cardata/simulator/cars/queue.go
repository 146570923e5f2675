package cars

// item is a message that waits for its due time, without what can be computed
// when it leaves: a car holds some hundreds of them.
type item struct {
	due, sent int64 // Unix milliseconds
	measured  int64 // Unix seconds
	number    float64
	text      string
	key       uint8
	index     uint8 // of the key's words; 0 or 1 for booleans
	what      what
	noUnit    bool
	duplicate bool
}

// what says how an item's value is meant.
type what uint8

const (
	plain    what = iota
	absent        // null
	sentinel      // the key's word for nothing
	miles         // number is in miles
	rawJSON       // text is an array or object and goes out as such
)

// queue is a heap of items by due time and, within it, by order of arrival.
type queue struct {
	heap  []entry
	slots []item
	free  []uint32
	count uint32
}

type entry struct {
	due   int64
	count uint32
	slot  uint32
}

func (a entry) before(b entry) bool {
	return a.due < b.due || a.due == b.due && int32(a.count-b.count) < 0
}

func (q *queue) push(it *item) {
	var slot uint32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
		q.slots[slot] = *it
	} else {
		slot = uint32(len(q.slots))
		q.slots = append(q.slots, *it)
	}
	e := entry{it.due, q.count, slot}
	q.count++
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

// pop removes the first item; the pointer is good until the next push.
func (q *queue) pop() *item {
	top := q.heap[0]
	n := len(q.heap) - 1
	e := q.heap[n]
	q.heap = q.heap[:n]
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && q.heap[down+1].before(q.heap[down]) {
			down++
		}
		if !q.heap[down].before(e) {
			break
		}
		q.heap[i] = q.heap[down]
		i = down
	}
	if n > 0 {
		q.heap[i] = e
	}
	q.free = append(q.free, top.slot)
	return &q.slots[top.slot]
}
