-- Claim: whether this session may try the kind, since nobody has of late. Primary key; one that somebody else is trying is not
-- waited for. 1 kind.
select kind from intendant.poison where kind = $1::text and until <= clock_timestamp() for update skip locked
