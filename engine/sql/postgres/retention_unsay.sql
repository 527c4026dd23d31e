-- Retention: a person takes back what a person has said; returns whether there was anything. Primary key. 1 kind, 2 state.
delete from intendant.retention where kind = $1::text and state = $2::text and said = 'person' returning kind
