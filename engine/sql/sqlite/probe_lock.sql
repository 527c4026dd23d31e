-- Claim: whether this session may try the kind, since nobody has of late. Primary key. 1 kind, 2 now.
select kind from intendant_poison where kind = ?1 and until <= ?2
