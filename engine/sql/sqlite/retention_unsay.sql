-- Retention: a person takes back what a person has said; returns whether there was anything. Primary key. 1 kind, 2 state.
delete from intendant_retention where kind = ?1 and state = ?2 and said = 'person' returning kind
