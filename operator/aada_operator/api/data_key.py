"""The key that the application encrypts values of its rows with, and where such a value is found."""

from typing import Annotated

from pydantic import Field

from aada_operator.api.common import Model, SecretKeyRef


class DataKey(Model):
    """A restore is refused when this key does not decrypt a value of the backup: nobody could sign in after it."""

    secret_ref: Annotated[SecretKeyRef, Field(description="Where the application has the key from.")]
    table: Annotated[
        str, Field(min_length=1, max_length=127, description="Table with encrypted values, as name or schema.name.")
    ]
    column: Annotated[str, Field(min_length=1, max_length=63, description="Its column with them.")]
    sql: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="How PostgreSQL decrypts one, with its bytes as $1 and the key as $2; pgcrypto is there.",
        ),
    ] = "SELECT pgp_sym_decrypt($1, $2)"

    @property
    def where(self) -> str:
        """The column for people."""
        return f"{self.table}.{self.column}"
