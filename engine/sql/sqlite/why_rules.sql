-- Why: the conflict rules of a kind. Primary key. 1 kind.
select conflicts from intendant_kind where kind = ?1
