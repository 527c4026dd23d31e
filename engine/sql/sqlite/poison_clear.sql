-- An intent of this kind has succeeded: it is trusted again. Primary key. 1 kind.
delete from intendant_poison where kind = ?1
