-- Worker: a cancel from plain SQL has been carried out, or cannot be. Nothing comes back where another worker was faster. Primary key. 1 id.
delete from intendant_cancel_request where id = ?1 returning intent_id
