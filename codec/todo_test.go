package codec

import "time"

// What a generator would write for these types.

type todo struct {
	Title, Color string
	Completed    bool
	CompletedAt  time.Time
}

type list struct {
	Title string
	Todos []todo
	Count int
}

func appendTodo(b []byte, v todo) []byte {
	b = AppendArray(b, 4)
	b = AppendString(b, v.Title)
	b = AppendString(b, v.Color)
	b = AppendBool(b, v.Completed)
	return AppendTime(b, v.CompletedAt)
}

func readTodo(r *Reader, v *todo) {
	for i := range r.Fields() {
		switch i {
		case 0:
			ReadString(r, &v.Title)
		case 1:
			ReadString(r, &v.Color)
		case 2:
			ReadBool(r, &v.Completed)
		case 3:
			ReadTime(r, &v.CompletedAt)
		default:
			r.Skip()
		}
	}
}

func appendList(b []byte, v list) []byte {
	b = AppendArray(b, 3)
	b = AppendString(b, v.Title)
	b = AppendSlice(b, v.Todos, appendTodo)
	return AppendInt(b, v.Count)
}

func readList(r *Reader, v *list) {
	for i := range r.Fields() {
		switch i {
		case 0:
			ReadString(r, &v.Title)
		case 1:
			ReadSlice(r, &v.Todos, readTodo)
		case 2:
			ReadInt(r, &v.Count)
		default:
			r.Skip()
		}
	}
}
