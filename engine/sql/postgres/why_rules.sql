-- Why: the conflict rules of a kind. Primary key. 1 kind.
select conflicts::text from intendant.kind where kind = $1::text
